package org.iristf.demo

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import org.iristf.core.Conditions
import org.iristf.core.Machine
import org.iristf.core.Presence
import org.iristf.core.Surroundings

/** What the phone says of itself. */
class Phone(private val context: Context) : Surroundings {
    private val presence = Presence()

    /** Tell whether the app can be seen; if not, the system may slow it down. */
    fun seen(seen: Boolean) = presence.seen(seen)

    override fun invalid(): String? = if (presence.left) context.getString(R.string.left_app) else null

    override fun reset() = presence.reset()

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
