// Compile the app's core (android_demo/core) and its exports to JavaScript with TypeScript declarations:
// build/core/core.mjs and core.d.mts. Nothing happens if they are newer than all of their sources.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const demo = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const shared = resolve(demo, '../android_demo/core/src/main/kotlin/org/iristf/core')
const compiler = join(demo, 'node_modules/kotlin-compiler')
const library = join(compiler, 'lib/kotlin-stdlib-js.klib')
const out = join(demo, 'build/core')
const built = join(out, 'core.mjs')

/** Files without folders: the folder `jvm` of the core holds what only the JVM has. */
const kotlinFiles = (folder) =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.kt'))
    .map((entry) => join(folder, entry.name))

function kotlin(...options) {
  // The compiler runs once and briefly, so optimising its code would take longer than it saves.
  const java = ['-Xmx800m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', join(compiler, 'lib/kotlin-preloader.jar')]
  const main = [
    'org.jetbrains.kotlin.preloading.Preloader', '-cp', join(compiler, 'lib/kotlin-compiler.jar'),
    'org.jetbrains.kotlin.cli.js.K2JSCompiler', '-libraries', library,
  ]
  const done = spawnSync('java', [...java, ...main, ...options], { encoding: 'utf8' })
  if (done.error?.code === 'ENOENT') fail('java is missing; install a JDK from 17 on.')
  // It also lists what it has done.
  if (done.status !== 0) fail(`the Kotlin compiler failed.\n${done.stdout}${done.stderr}`)
}

function fail(problem) {
  console.error(`web_demo: ${problem}`)
  process.exit(1)
}

/** Refuse another version than the app's, whose language may differ. */
function checkVersion() {
  const catalog = readFileSync(resolve(demo, '../android_demo/gradle/libs.versions.toml'), 'utf8')
  const wanted = /^kotlin = "(.*)"$/m.exec(catalog)[1]
  if (!existsSync(compiler)) fail('the Kotlin compiler is missing; run npm ci.')
  const found = JSON.parse(readFileSync(join(compiler, 'package.json'), 'utf8')).version
  if (found !== wanted) fail(`package.json asks for Kotlin ${found}, the app for ${wanted}; change one of them.`)
}

checkVersion()
const sources = [...kotlinFiles(shared), ...kotlinFiles(join(demo, 'core'))]
const newest = Math.max(...[...sources, fileURLToPath(import.meta.url)].map((file) => statSync(file).mtimeMs))
if (!existsSync(built) || statSync(built).mtimeMs < newest) {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  const parts = join(out, 'parts')
  kotlin('-Xir-produce-klib-dir', '-Werror', '-ir-output-dir', parts, '-ir-output-name', 'core', ...sources)
  kotlin(
    '-Xir-produce-js', '-Xir-dce', '-Xir-property-lazy-initialization', '-Xir-minimized-member-names', '-Xgenerate-dts',
    '-module-kind', 'es', '-target', 'es2015', `-Xinclude=${parts}`, '-ir-output-dir', out, '-ir-output-name', 'core',
  )
}
