package org.tensorflow.lite.nnapi;

import org.tensorflow.lite.Delegate;

public class NnApiDelegate implements Delegate {
    public static final class Options {
        public native Options setUseNnapiCpu(boolean use);
    }

    public NnApiDelegate(Options options) {}

    @Override
    public native long getNativeHandle();

    @Override
    public native void close();
}
