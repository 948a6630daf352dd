/** What a browser tells about the machine that it runs on. */
export interface Machine {
  readonly browser: string
  readonly cpu: string
  readonly cores: number
  readonly os: string
  /** Model of a phone; null where the browser does not tell it. */
  readonly device: string | null
}

/** Chromium's client hints, of which TypeScript's library knows nothing. */
interface UserAgentData {
  readonly brands: { readonly brand: string; readonly version: string }[]
  getHighEntropyValues(hints: string[]): Promise<Partial<Record<'architecture' | 'bitness' | 'model' | 'platform' | 'platformVersion', string>>>
}

/** Describe the machine; browsers name no CPU, so its architecture has to do. */
export async function describeMachine(): Promise<Machine> {
  const agent = navigator.userAgent
  const hints = (navigator as { userAgentData?: UserAgentData }).userAgentData
  const details = await hints?.getHighEntropyValues(['architecture', 'bitness', 'model', 'platformVersion'])
  const architecture = details?.architecture ? `${details.architecture} ${details.bitness ?? ''}`.trim() : 'unknown'
  return {
    browser: browserOf(agent),
    cpu: `${architecture} CPU that the browser does not name`,
    cores: Math.max(navigator.hardwareConcurrency, 1),
    os: details?.platform ? `${details.platform} ${details.platformVersion ?? ''}`.trim() : osOf(agent),
    device: details?.model || null,
  }
}

/** Name and main version of a browser, from its user agent. */
export function browserOf(agent: string): string {
  for (const [pattern, name] of BROWSERS) {
    const version = pattern.exec(agent)?.[1]
    if (version !== undefined) return `${name} ${version}`
  }
  return 'an unknown browser'
}

// In this order: most browsers also name those that they resemble.
const BROWSERS: [RegExp, string][] = [
  [/HeadlessChrome\/(\d+)/, 'headless Chromium'],
  [/SamsungBrowser\/(\d+)/, 'Samsung Internet'],
  [/(?:Edg|EdgA)\/(\d+)/, 'Edge'],
  [/FxiOS\/(\d+)/, 'Firefox for iOS'],
  [/Firefox\/(\d+)/, 'Firefox'],
  [/CriOS\/(\d+)/, 'Chrome for iOS'],
  [/Chrome\/(\d+)/, 'Chromium'],
  [/Version\/(\d+)[\d.]* (?:Mobile\/\w+ )?Safari/, 'Safari'],
]

/** Operating system of a user agent. */
export function osOf(agent: string): string {
  return /\(([^)]*)\)/.exec(agent)?.[1]?.split(';').slice(0, 2).join(';').trim() || 'unknown'
}
