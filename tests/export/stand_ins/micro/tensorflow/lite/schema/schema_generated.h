// Of TensorFlow Lite: a file is a network if it says so, and is where kernels can read it.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace tflite {

struct Model {};

inline const Model* GetModel(const void* bytes) {
    if (reinterpret_cast<std::uintptr_t>(bytes) % 16 || std::memcmp(static_cast<const char*>(bytes) + 4, "TFL3", 4)) std::abort();
    return static_cast<const Model*>(bytes);
}

}  // namespace tflite
