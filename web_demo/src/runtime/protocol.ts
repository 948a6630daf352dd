// What the page asks of the worker, and what it answers. Only data that can be copied between them.
import type { Counts, Measured } from '../benchmark/measure'
import type { ModelContent } from './engine'
import type { Build } from './litert'
import type { Place } from './open_engine'

/** An image of 0xAARRGGBB, row by row. */
export interface ColourImage {
  readonly height: number
  readonly width: number
  readonly colours: Int32Array
}

/** A processed eye image. */
export interface Processed {
  readonly overlay: ColourImage
  readonly crop: ColourImage
  readonly confidence: number
  /** Visible share of the iris, 0..1. */
  readonly visibleShare: number
  /** Degrees of freedom of the iris's texture; null without scores. */
  readonly freedom: number | null
  /** Milliseconds. */
  readonly times: { readonly segmentation: number; readonly crop: number; readonly embedding: number | null }
}

/** A comparison of two eye images. */
export interface Compared {
  readonly similarity: number
  readonly score: number | null
  readonly freedom: number | null
  readonly inconclusive: string | null
  /** The decisive one first. */
  readonly decisions: { readonly operatingPoint: string; readonly threshold: number; readonly sameEye: boolean }[]
}

/** Agreement of a model with the desktop. */
export interface Agreed {
  readonly cases: number
  readonly minCosine: number
  /** Greatest difference of an output. */
  readonly maxDifference: number
  readonly agrees: boolean
  readonly backend: string
  readonly fallback: string | null
}

/** Agreement of segmentations and crops with the desktop. */
export interface AgreedOnEyes {
  readonly eyes: number
  readonly crops: number
  readonly minOverlap: number
  readonly maxShift: number
  readonly maxStripDifference: number
  readonly agrees: boolean
}

/** The two models of a comparison with the texts of their cards. */
export interface ComparerModels {
  readonly segmenter: ModelContent
  readonly segmenterCard: string
  readonly recognition: ModelContent
  readonly recognitionCard: string
}

export type Progressed = (done: number, total: number) => void

/** What the worker does; each job ends with a result or a problem in one sentence. */
export interface Jobs {
  readonly load: (build: Build, base: string) => Promise<void>
  readonly measure: (input: { model: ModelContent; place: Place; counts: Counts }, progressed?: Progressed) => Promise<Measured>
  readonly agree: (input: { model: ModelContent; place: Place; test: string; where: string }) => Promise<Agreed>
  readonly agreeOnEyes: (input: { model: ModelContent; card: string; test: string; where: string }) => Promise<AgreedOnEyes>
  readonly openComparer: (models: ComparerModels) => Promise<string | null>
  readonly enrol: (index: 0 | 1, image: ColourImage) => Promise<Processed>
  readonly forget: (index: 0 | 1) => Promise<void>
  readonly compare: () => Promise<Compared | null>
}

export interface Request {
  readonly id: number
  readonly job: keyof Jobs
  readonly input: unknown[]
}

export type Response =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly problem: string }
  | { readonly id: number; readonly done: number; readonly total: number }
