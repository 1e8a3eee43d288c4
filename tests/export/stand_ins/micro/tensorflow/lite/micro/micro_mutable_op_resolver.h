// Of TensorFlow Lite Micro: counts the operators that are added, under the names that it has for them.
#pragma once
#include <cstdlib>

#define OPERATORS_OF_MICRO(X) \
    X(Add) X(ArgMax) X(AveragePool2D) X(BatchMatMul) X(Concatenation) X(Conv2D) X(DepthwiseConv2D) X(Dequantize) X(Div) X(Elu) \
    X(ExpandDims) X(FullyConnected) X(Gather) X(HardSwish) X(LeakyRelu) X(Logistic) X(Maximum) X(MaxPool2D) X(Mean) X(Minimum) \
    X(MirrorPad) X(Mul) X(Neg) X(Pack) X(Pad) X(PadV2) X(Prelu) X(Quantize) X(ReduceMax) X(Relu) X(Relu6) X(Reshape) \
    X(ResizeBilinear) X(ResizeNearestNeighbor) X(Rsqrt) X(Slice) X(Softmax) X(SpaceToDepth) X(Split) X(SplitV) X(Squeeze) \
    X(StridedSlice) X(Sub) X(Sum) X(Tanh) X(Transpose) X(TransposeConv) X(Unpack)

namespace tflite {

struct MicroOpResolver {
    unsigned added = 0;
};

template <unsigned count>
struct MicroMutableOpResolver : MicroOpResolver {
    void AddOne() {
        if (++added > count) std::abort();
    }
#define OPERATOR(name) \
    void Add##name() { AddOne(); }
    OPERATORS_OF_MICRO(OPERATOR)
#undef OPERATOR
};

}  // namespace tflite
