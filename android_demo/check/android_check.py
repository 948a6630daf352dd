"""Check the Android demo on a machine without Gradle, Google's repositories and a phone.

    python android_demo/check/android_check.py

Each step passes, fails, or is skipped because a tool is missing; the exit status is 1 if a step
failed. `make android-tools` fetches some of the tools; `check/debian_packages.txt` lists the
packages that have the others.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import check_steps
from check_steps import Failed, Missing, made, run_steps

DEMO = Path(__file__).resolve().parents[1]
MODELS = DEMO.parent / "models"
BUILD = DEMO / "build" / "check"
TOOLS = DEMO / "build" / "tools"
JAVA = Path("/usr/share/java")
JUNIT = (
    "junit-jupiter-api", "junit-jupiter-engine", "junit-platform-commons",
    "junit-platform-console", "junit-platform-engine", "junit-platform-launcher",
    "junit-platform-reporting", "opentest4j", "opentest4j-reporting-events",
    "opentest4j-reporting-schema", "apiguardian-api", "picocli", "univocity-parsers",
)  # fmt: skip
PACKAGE, MIN_SDK, TARGET_SDK, VERSION = "org.iristf.demo", "24", "36", "0.1.0"
LOGGED = ("INFO:", "WARNING:")
# dx reads class files up to Java 9 and does not support invokedynamic.
KOTLIN_OPTIONS = (
    "-jvm-target", "1.8", "-Xlambdas=class", "-Xsam-conversions=class",
    "-Xstring-concat=inline", "-Werror",
)  # fmt: skip


def debian_packages() -> list[list[str]]:
    """Rows of the list of packages: what is needed, package, releases, purpose."""
    lines = (DEMO / "check" / "debian_packages.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(maxsplit=3) for line in lines if not line.startswith("#")]


def not_installed(needed: str | Path) -> Missing:
    """A program or file of a Debian package is missing."""
    packages = [
        f"{package} (Debian {releases.replace(',', ' and ')})"
        for name, package, releases, _ in debian_packages()
        if name == str(needed)
    ]
    return Missing(f"{needed} is missing; install {' or '.join(packages)}.")


def not_fetched(name: str) -> Missing:
    """A tool that `make android-tools` fetches is missing."""
    return Missing(f"{name} is missing; run `make android-tools`.")


def existing(path: Path) -> Path:
    """A file of a Debian package."""
    if not path.exists():
        raise not_installed(path)
    return path


def program(name: str) -> str:
    """Path of a program of a Debian package."""
    found = shutil.which(name)
    if found is None:
        raise not_installed(name)
    return found


def run(command: Sequence[str | Path], **options) -> str:
    """`check_steps.run` without LiteRT's log lines."""
    return check_steps.run(command, LOGGED, **options)


def kotlin_home() -> Path:
    """Installation folder of the Kotlin compiler, of the version that Gradle uses."""
    catalog = tomllib.loads((DEMO / "gradle" / "libs.versions.toml").read_text(encoding="utf-8"))
    version = catalog["versions"]["kotlin"]
    homes = [TOOLS / "npm" / "node_modules" / "kotlin-compiler"]
    if found := shutil.which("kotlinc"):
        homes.append(Path(found).resolve().parents[1])
    for home in homes:
        build = home / "build.txt"
        if build.exists() and build.read_text(encoding="utf-8").startswith(f"{version}-"):
            return home
    raise not_fetched(f"Kotlin {version}")


def kotlin_library() -> Path:
    """Kotlin's standard library."""
    return kotlin_home() / "lib" / "kotlin-stdlib.jar"


def compile_kotlin(
    sources: Path, output: Path, *libraries: Path, options: Sequence[str] = ()
) -> None:
    """Compile all Kotlin files below a folder."""
    program("javac")
    files = sorted(sources.rglob("*.kt"))
    paths = ["-classpath", os.pathsep.join(map(str, libraries))] if libraries else []
    environment = os.environ | {"JAVA_OPTS": "-Xmx800m"}
    compiler = kotlin_home() / "bin" / "kotlinc"
    arguments = [*KOTLIN_OPTIONS, *options, *paths, *files, "-d", output]
    run(["bash", compiler, *arguments], env=environment)


def junit() -> list[Path]:
    """JUnit 5's archives; some of Debian's releases lack a few of them."""
    archives = [JAVA / f"{name}.jar" for name in JUNIT]
    existing(archives[0])
    return [archive for archive in archives if archive.exists()]


def android_jar() -> Path:
    """The newest android.jar."""
    homes = [Path(os.environ[name]) for name in ("ANDROID_HOME",) if name in os.environ]
    homes += [Path("/usr/lib/android-sdk")]
    jars = [jar for home in homes for jar in home.glob("platforms/android-*/android.jar")]
    fetched = TOOLS / "root" / "usr" / "share" / "java" / "com.android.android-23.jar"
    for jar in (*sorted(jars, reverse=True), fetched):
        if jar.exists():
            return jar
    raise not_fetched("android.jar")


def core() -> None:
    """Compile :core."""
    compile_kotlin(DEMO / "core" / "src" / "main", BUILD / "core.jar")


def core_tests() -> str:
    """Run the tests of :core with JUnit 5."""
    libraries = [BUILD / "core.jar", *junit()]
    tests = DEMO / "core" / "src" / "test"
    # Tests may access internal declarations of their module, as with Gradle.
    friend = f"-Xfriend-paths={BUILD / 'core.jar'}"
    compile_kotlin(tests / "kotlin", BUILD / "core-tests.jar", *libraries, options=[friend])
    resources = [tests / "resources", DEMO.parent / "tests" / "fixtures"]
    path = [*libraries, BUILD / "core-tests.jar", *resources, kotlin_library()]
    output = run([
        "java", "-cp", os.pathsep.join(map(str, path)),
        "org.junit.platform.console.ConsoleLauncher", "--disable-banner", "--details=tree",
        "--details-theme=ascii", f"--scan-classpath={BUILD / 'core-tests.jar'}",
        "--fail-if-no-tests",
    ])  # fmt: skip
    return next(line.strip(" []") for line in output.splitlines() if "tests successful" in line)


def host() -> str:
    """Run the measuring loop of :core on the released models, and compare with Python."""
    jna = existing(JAVA / "jna.jar")
    reference = BUILD / "reference"
    python = os.environ | {"PYTHONPATH": str(DEMO.parent)}
    probe = [sys.executable, "-c", "import iris_tf.tflite.litert_model"]
    if subprocess.run(probe, check=False, env=python, stderr=subprocess.DEVNULL).returncode != 0:
        raise Missing(f"{sys.executable} lacks the project's dependencies; run `make test` once.")
    run([sys.executable, DEMO / "host_check" / "reference.py", reference, MODELS], env=python)
    compile_kotlin(DEMO / "host_check", BUILD / "host.jar", BUILD / "core.jar", jna)
    path = [BUILD / "core.jar", BUILD / "host.jar", jna, kotlin_library()]
    result = BUILD / "host_result.json"
    output = run([
        "java", "-cp", os.pathsep.join(map(str, path)), "org.iristf.host.HostCheckKt", MODELS,
        reference, DEMO / "app" / "src" / "main" / "assets" / "agreement", result,
    ])  # fmt: skip
    check = (
        "import json, sys; from iris_tf.benchmark.schema import validate_result; "
        "validate_result(json.load(open(sys.argv[1], encoding='utf-8')))"
    )
    run([sys.executable, "-c", check, result], env=python)
    # LiteRT logs errors for the models that are meant to fail.
    lines = [line for line in output.splitlines() if not line.startswith((*LOGGED, "ERROR:"))]
    return "; ".join(line.rstrip(".") for line in lines if ": " in line)


def resources() -> str:
    """Compile the resources of :app and link them with the manifest."""
    aapt2 = program("aapt2")
    framework = existing(Path("/usr/share/android-framework-res/framework-res.apk"))
    main = DEMO / "app" / "src" / "main"
    # Gradle adds the package and the version to the manifest.
    manifest = (main / "AndroidManifest.xml").read_text(encoding="utf-8")
    whole = BUILD / "AndroidManifest.xml"
    whole.write_text(
        manifest.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1), encoding="utf-8"
    )
    compiled = BUILD / "resources.zip"
    run([aapt2, "compile", "--dir", main / "res", "-o", compiled])
    # Only a warning, because Debian's aapt2 predates the element uses-native-library of Android 12.
    run([
        aapt2, "link", "-I", framework, "--manifest", whole, "--warn-manifest-validation",
        "--min-sdk-version", MIN_SDK, "--target-sdk-version", TARGET_SDK, "--version-code", "1",
        "--version-name", VERSION, "--java", BUILD / "gen", "-A", assets(), "-0", ".tflite",
        "-o", BUILD / "linked.apk", compiled,
    ])  # fmt: skip
    cards = [json.loads(card.read_text("utf-8")) for card in MODELS.glob("*/model_card.json")]
    if any("roi_mode" in card for card in cards):
        return ""
    return "models/ contains no recognition model, so the app would not compare eyes"


def assets() -> Path:
    """Copy the models like Gradle's task `copyModels`, each verified against its card."""
    folder = BUILD / "assets"
    shutil.rmtree(folder, ignore_errors=True)
    source = DEMO / "app" / "src" / "main" / "assets"
    if source.is_dir():
        shutil.copytree(source, folder)
    for card in sorted(MODELS.glob("*/model_card.json")):
        target = folder / "models" / card.parent.name
        target.mkdir(parents=True)
        shutil.copy(card, target)
        for name, facts in json.loads(card.read_text("utf-8"))["files"].items():
            if Path(name).name != name:
                raise Failed(f"{card}: {name} is not a file name; give names without folders.")
            content = (card.parent / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise Failed(f"{card.parent / name}: its SHA-256 differs from the one in its card.")
            (target / name).write_bytes(content)
    return folder


def app() -> None:
    """Compile :app against android.jar and the stubs of LiteRT."""
    javac, android = program("javac"), android_jar()
    made(BUILD / "gen")
    stubs = BUILD / "stubs"
    shutil.rmtree(stubs, ignore_errors=True)
    stubs.mkdir()
    java = ["-nowarn", "-source", "8", "-target", "8", "-bootclasspath", android]
    run([javac, *java, "-d", stubs, *sorted((DEMO / "check" / "stubs").rglob("*.java"))])
    generated = BUILD / "generated"
    shutil.rmtree(generated, ignore_errors=True)
    generated.mkdir()
    run([javac, *java, "-d", generated, *sorted((BUILD / "gen").rglob("*.java"))])
    # The stubs come first, because they replace classes that are older in this android.jar.
    compile_kotlin(
        DEMO / "app" / "src" / "main" / "kotlin", BUILD / "app.jar",
        stubs, generated, BUILD / "core.jar", android,
    )  # fmt: skip


def package() -> str:
    """Assemble, align, sign and verify an APK."""
    dx = TOOLS / "root" / "usr" / "share" / "java" / "com.android.dx.jar"
    if not dx.exists():
        raise not_fetched("dx")
    zipalign, apksigner, _ = map(program, ("zipalign", "apksigner", "javac"))
    made(BUILD / "app.jar")
    # Without Kotlin's standard library, because dx does not support invokedynamic: this APK shows
    # that its components fit together, and must not be installed.
    run([
        "java", "-Xmx1200m", "-cp", dx, "com.android.dx.command.Main", "--dex",
        f"--min-sdk-version={MIN_SDK}", f"--output={BUILD / 'classes.dex'}", BUILD / "app.jar",
        BUILD / "generated", BUILD / "core.jar",
    ])  # fmt: skip
    unaligned, apk = BUILD / "unaligned.apk", BUILD / "build-check.apk"
    shutil.copy(BUILD / "linked.apk", unaligned)
    with zipfile.ZipFile(unaligned, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.write(BUILD / "classes.dex", "classes.dex")
    run([zipalign, "-f", "4", unaligned, apk])
    key = BUILD / "check.keystore"
    if not key.exists():
        run([
            "keytool", "-genkeypair", "-keystore", key, "-storepass", "build-check",
            "-alias", "key", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000",
            "-dname", "CN=build check",
        ])  # fmt: skip
    run([apksigner, "sign", "--ks", key, "--ks-pass", "pass:build-check", apk])
    run([apksigner, "verify", "--min-sdk-version", MIN_SDK, apk])
    run([zipalign, "-c", "4", apk])
    with zipfile.ZipFile(apk) as archive:
        models = [entry for entry in archive.infolist() if entry.filename.endswith(".tflite")]
        for entry in models:
            if entry.compress_type != zipfile.ZIP_STORED:
                raise Failed(f"{entry.filename} is compressed in the APK, so it cannot be mapped.")
            original = MODELS.joinpath(*Path(entry.filename).parts[-2:])
            if archive.read(entry) != original.read_bytes():
                raise Failed(f"{entry.filename} differs from the file in models/.")
    if len(models) != sum(1 for _ in MODELS.glob("*/*.tflite")):
        raise Failed("The APK does not contain all models.")
    return f"{len(models)} model files, uncompressed"


STEPS: tuple[Callable[[], str | None], ...] = (
    core, core_tests, host, resources, app, package,
)  # fmt: skip


def main() -> int:
    """Run all steps and print their results."""
    shutil.rmtree(BUILD / "gen", ignore_errors=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    for stale in BUILD.glob("*.jar"):
        stale.unlink()
    return run_steps(STEPS)


if __name__ == "__main__":
    sys.exit(main())
