// What a board does: one picture of 0, 1, 2, ... 255, 0, ...
#include <cstdint>
#include <cstdio>

int classify(const uint8_t* pixels);

int main() {
    uint8_t pixels[PIXELS];
    for (int i = 0; i < PIXELS; ++i) pixels[i] = static_cast<uint8_t>(i);
    std::printf("\n%d\n", classify(pixels));
}
