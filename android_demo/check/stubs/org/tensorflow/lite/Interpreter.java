package org.tensorflow.lite;

import java.nio.ByteBuffer;

public final class Interpreter implements AutoCloseable {
    public static class Options {
        public native Options setNumThreads(int threads);

        public native Options addDelegate(Delegate delegate);
    }

    public Interpreter(ByteBuffer model, Options options) {}

    public native void run(Object input, Object output);

    public native void allocateTensors();

    public native int getInputTensorCount();

    public native int getOutputTensorCount();

    public native Tensor getInputTensor(int index);

    public native Tensor getOutputTensor(int index);

    public native String[] getSignatureKeys();

    public native String[] getSignatureInputs(String key);

    public native String[] getSignatureOutputs(String key);

    public native Long getLastNativeInferenceDurationNanoseconds();

    @Override
    public native void close();
}
