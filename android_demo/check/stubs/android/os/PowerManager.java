package android.os;

public final class PowerManager {
    private PowerManager() {}

    public native int getCurrentThermalStatus();
}
