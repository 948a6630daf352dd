package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.Map;

public final class Interpreter implements AutoCloseable {
    public static class Options {
        public native Options setNumThreads(int threads);

        public native Options addDelegate(Delegate delegate);
    }

    public Interpreter(ByteBuffer model, Options options) {}

    public native void runSignature(Map<String, Object> inputs, Map<String, Object> outputs, String key);

    public native void allocateTensors();

    public native Tensor getInputTensorFromSignature(String name, String key);

    public native Tensor getOutputTensorFromSignature(String name, String key);

    public native String[] getSignatureKeys();

    public native String[] getSignatureInputs(String key);

    public native String[] getSignatureOutputs(String key);

    public native Long getLastNativeInferenceDurationNanoseconds();

    @Override
    public native void close();
}
