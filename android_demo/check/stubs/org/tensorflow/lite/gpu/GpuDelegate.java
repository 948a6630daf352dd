package org.tensorflow.lite.gpu;

import org.tensorflow.lite.Delegate;

public class GpuDelegate implements Delegate {
    @Override
    public native long getNativeHandle();

    @Override
    public native void close();
}
