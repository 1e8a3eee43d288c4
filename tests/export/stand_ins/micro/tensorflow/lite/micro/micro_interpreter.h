// Of TensorFlow Lite Micro: prints the input, and answers what the test compiled in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

enum TfLiteStatus { kTfLiteOk, kTfLiteError };

struct TfLiteTensor {
    union {
        int8_t* int8;
    } data;
    struct {
        float scale;
        int32_t zero_point;
    } params;
};

namespace tflite {

struct MicroInterpreter {
    MicroInterpreter(const Model*, const MicroOpResolver& operators, uint8_t*, size_t) : added(operators.added) {}

    TfLiteStatus AllocateTensors() { return added == OPERATORS ? kTfLiteOk : kTfLiteError; }
    TfLiteTensor* input(size_t) { return &image; }
    TfLiteTensor* output(size_t) { return &answer; }

    TfLiteStatus Invoke() {
        for (int8_t pixel : pixels) std::printf("%d ", pixel);
        return kTfLiteOk;
    }

    unsigned added;
    int8_t pixels[PIXELS];
    int8_t numbers[CLASSES] = {ANSWER};
    TfLiteTensor image{{pixels}, {1.0f, -128}};
    TfLiteTensor answer{{numbers}, {1.0f / 256, -128}};
};

}  // namespace tflite
