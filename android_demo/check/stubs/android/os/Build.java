package android.os;

public class Build {
    // Not compile-time constants, or the compiler would inline them into the app.
    public static final String HARDWARE = unknown();
    public static final String MANUFACTURER = unknown();
    public static final String MODEL = unknown();
    public static final String SOC_MANUFACTURER = unknown();
    public static final String SOC_MODEL = unknown();
    public static final String[] SUPPORTED_ABIS = {};

    public static class VERSION {
        public static final String RELEASE = unknown();
        public static final int SDK_INT = unknown().length();
    }

    private static native String unknown();
}
