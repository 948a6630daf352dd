import groovy.json.JsonSlurper
import java.security.MessageDigest
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.iristf.demo"
    compileSdk = 36

    defaultConfig {
        applicationId = "org.iristf.demo"
        minSdk = 24
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
    }

    buildTypes {
        // For measuring: a debug build's Kotlin is not optimised ahead of time, and the runtime checks more.
        // Not minified, so that stack traces stay readable; inference is native code in any case.
        release {
            isMinifyEnabled = false
            isProfileable = true
            // To be installed by adb without a key of one's own; a store needs another key.
            signingConfig = signingConfigs.getByName("debug")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    // Compressed files cannot be memory-mapped.
    androidResources {
        noCompress += "tflite"
    }

    // Native libraries stay uncompressed and are aligned to 16 KB in the APK, as Android 15 asks for.
    packaging {
        jniLibs.useLegacyPackaging = false
    }
}

kotlin {
    jvmToolchain(libs.versions.jdk.get().toInt())
    compilerOptions {
        jvmTarget = JvmTarget.JVM_11
    }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.litert.gpu.api)
}

/** Copies every folder of models/ that has a card, and verifies each file against it. */
abstract class CopyModels : DefaultTask() {
    @get:InputDirectory
    @get:PathSensitive(PathSensitivity.RELATIVE)
    abstract val models: DirectoryProperty

    @get:OutputDirectory
    abstract val output: DirectoryProperty

    @TaskAction
    fun copy() {
        val cardName = "model_card.json"
        val target = output.get().asFile.resolve("models")
        target.deleteRecursively()
        val folders = models.get().asFile.listFiles().orEmpty().filter { it.resolve(cardName).isFile }
        for (folder in folders) {
            val card = folder.resolve(cardName)
            card.copyTo(target.resolve(folder.name).resolve(cardName))
            val files = (JsonSlurper().parse(card) as Map<*, *>)["files"] as Map<*, *>
            for ((name, facts) in files) {
                val file = folder.resolve(name as String)
                if (file.name != name) throw GradleException("$card: $name is not a file name; give names without folders.")
                val found = MessageDigest.getInstance("SHA-256").digest(file.readBytes())
                    .joinToString("") { "%02x".format(it) }
                if (found != (facts as Map<*, *>)["sha256"]) {
                    throw GradleException("$file: its SHA-256 differs from the one in $cardName; copy both again from the same source.")
                }
                file.copyTo(target.resolve(folder.name).resolve(name))
            }
        }
        // Only cards of recognition models have a ROI mode.
        if (folders.none { "roi_mode" in JsonSlurper().parse(it.resolve(cardName)) as Map<*, *> }) {
            logger.warn("${models.get().asFile} contains no recognition model, so the app shows crops but does not compare eyes.")
        }
    }
}

val copyModels = tasks.register<CopyModels>("copyModels") {
    models = rootProject.layout.projectDirectory.dir("../models")
}

androidComponents {
    onVariants { variant ->
        variant.sources.assets?.addGeneratedSourceDirectory(copyModels, CopyModels::output)
    }
}
