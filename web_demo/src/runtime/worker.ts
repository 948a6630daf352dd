// The worker in which models run: one a runtime, so that its memory is freed when it is terminated.
import { getGlobalLiteRt } from '@litertjs/core'
import { AgreementTest, EyeComparer, SynchronousModel, eyesAgreement, readCard, toGray, type Eye } from 'core'
import { measure } from '../benchmark/measure'
import { CpuModel, DEFAULT_SIGNATURE, WHOLE, type CpuSignature, type ModelContent } from './engine'
import { load } from './litert'
import { openEngine } from './open_engine'
import { Problem, userMessage } from './problem'
import type { ColourImage, ComparerModels, Jobs, Processed, Request, Response } from './protocol'

let comparer: EyeComparer | null = null
const eyes: (Eye | null)[] = [null, null]

const jobs: Jobs = {
  load: async (build, base) => {
    await load(build, base)
  },

  measure: async ({ model, place, counts }, progressed) =>
    measure(() => openEngine(getGlobalLiteRt(), model, place), counts, () => performance.now(), progressed ?? (() => undefined)),

  agree: async ({ model, place, test, where }) => {
    const agreement = new AgreementTest(test, where)
    const engine = await openEngine(getGlobalLiteRt(), model, place)
    try {
      agreement.checkInput(engine.inputShape)
      let minCosine = 1
      let maxDifference = 0
      for (let i = 0; i < agreement.cases; i++) {
        engine.fill(agreement.input(i))
        await engine.invoke()
        const output = engine.output()
        minCosine = Math.min(minCosine, agreement.cosine(i, output))
        maxDifference = Math.max(maxDifference, agreement.difference(i, output))
      }
      const { backend, fallback } = engine
      return { cases: agreement.cases, minCosine, maxDifference, agrees: agreement.agrees(minCosine), backend, fallback }
    } finally {
      engine.close()
    }
  },

  agreeOnEyes: async ({ model, card, test, where }) => {
    const opened = await CpuModel.open(getGlobalLiteRt(), model, 1)
    const found = eyesAgreement(test, where, synchronous(opened.signature(WHOLE)), synchronous(opened.signature(DEFAULT_SIGNATURE)), readCard(card, model.file))
    opened.close()
    const { eyes, crops, minOverlap, maxShift, maxStripDifference, agrees } = found
    return { eyes, crops, minOverlap, maxShift, maxStripDifference, agrees }
  },

  openComparer: async (models) => {
    eyes.fill(null) // embeddings of different models cannot be compared
    comparer = await open(models)
    return comparer.note ?? null
  },

  enrol: (index, image) => {
    if (!comparer) throw new Problem('No model could be loaded, so images cannot be compared; reload the page.')
    eyes[index] = null
    const eye = comparer.enrol(toGray(image.height, image.width, image.colours))
    eyes[index] = eye
    return Promise.resolve(processed(eye, image))
  },

  forget: (index) => {
    eyes[index] = null
    return Promise.resolve()
  },

  compare: () => {
    const [first, second] = eyes
    const outcome = first && second ? comparer?.compare(first, second) : null
    if (!outcome) return Promise.resolve(null)
    return Promise.resolve({
      similarity: outcome.similarity,
      score: outcome.score ?? null,
      freedom: outcome.freedom ?? null,
      inconclusive: outcome.inconclusive ?? null,
      decisions: outcome.decisions.map(({ operatingPoint, threshold, sameEye }) => ({ operatingPoint, threshold, sameEye })),
    })
  },
}

async function open({ segmenter, segmenterCard, recognition, recognitionCard }: ComparerModels): Promise<EyeComparer> {
  const liteRt = getGlobalLiteRt()
  const opened = async (model: ModelContent) => CpuModel.open(liteRt, model, 1)
  const network = await opened(segmenter)
  return new EyeComparer(
    synchronous(network.signature(WHOLE)), synchronous(network.signature(DEFAULT_SIGNATURE)),
    readCard(segmenterCard, segmenter.file), synchronous((await opened(recognition)).signature(DEFAULT_SIGNATURE)),
    readCard(recognitionCard, recognition.file), () => performance.now(),
  )
}

const synchronous = (signature: CpuSignature) =>
  new SynchronousModel(signature.inputShape, signature.outputShape, signature.infer)

function processed(eye: Eye, { height, width }: ColourImage): Processed {
  const { crop } = eye
  return {
    overlay: { height, width, colours: eye.overlay() },
    crop: { height: crop.height, width: crop.width, colours: crop.colours() },
    confidence: eye.confidence,
    visibleShare: eye.visibleShare,
    freedom: eye.freedom ?? null,
    times: { segmentation: eye.segmentationTime, crop: eye.cropTime, embedding: eye.embeddingTime ?? null },
  }
}

addEventListener('message', ({ data }: MessageEvent<Request>) => void answer(data))

async function answer({ id, job, input }: Request) {
  const post = (response: Response) => { postMessage(response) }
  try {
    const run = jobs[job] as (...input: unknown[]) => Promise<unknown>
    post({ id, result: await run(...input, (done: number, total: number) => { post({ id, done, total }) }) })
  } catch (error) {
    post({ id, problem: userMessage(error) })
  }
}
