package org.iristf.demo

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.content.pm.ApplicationInfo
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import org.iristf.core.Conditions
import org.iristf.core.Machine
import org.iristf.core.ForegroundMonitor
import org.iristf.core.DeviceMonitor

/** Hardware, system and state of the phone. */
class Phone(private val context: Context) : DeviceMonitor {
    private val foreground = ForegroundMonitor()

    /** Record whether the app is in the foreground; in the background the system may throttle it. */
    fun setForeground(inForeground: Boolean) = foreground.update(inForeground)

    override fun invalid(): String? = if (foreground.interrupted) context.getString(R.string.left_foreground) else null

    override fun reset() = foreground.reset()

    override fun conditions(): Conditions {
        val battery = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        fun extra(name: String) = battery?.getIntExtra(name, -1)?.takeIf { it >= 0 }
        val level = extra(BatteryManager.EXTRA_LEVEL)
        val scale = extra(BatteryManager.EXTRA_SCALE)?.takeIf { it > 0 }
        return Conditions(
            thermal(), if (level == null || scale == null) null else 100 * level / scale,
            extra(BatteryManager.EXTRA_PLUGGED)?.let { it != 0 }, extra(BatteryManager.EXTRA_TEMPERATURE)?.let { it / 10.0 },
        )
    }

    private fun thermal(): String? {
        if (Build.VERSION.SDK_INT < THERMAL_FROM) return null
        val power = context.getSystemService(Context.POWER_SERVICE) as PowerManager
        return Conditions.THERMAL.getOrNull(power.currentThermalStatus)
    }

    override fun memoryBytes(): Long? {
        val info = Debug.MemoryInfo()
        Debug.getMemoryInfo(info)
        return info.totalPss * 1024L
    }

    /** Whether this is a debug build, which is slower than the release build. */
    val debugBuild: Boolean get() = (context.applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE) != 0

    fun machine(): Machine {
        val memory = ActivityManager.MemoryInfo()
        (context.getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager).getMemoryInfo(memory)
        val soc = if (Build.VERSION.SDK_INT < SOC_FROM) Build.HARDWARE
        else "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
        return Machine(
            soc, Runtime.getRuntime().availableProcessors(), "Android ${Build.VERSION.RELEASE}",
            "${Build.MANUFACTURER} ${Build.MODEL}", Build.SUPPORTED_ABIS.firstOrNull(), Build.VERSION.SDK_INT, memory.totalMem,
        )
    }

    private companion object {
        const val THERMAL_FROM = 29
        const val SOC_FROM = 31
    }
}
