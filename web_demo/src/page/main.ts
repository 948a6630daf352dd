import '../style.css'
import { AgreementView } from '../agreement/agreement_view'
import { BenchmarkView } from '../benchmark/benchmark_view'
import { ComparisonView } from '../comparison/comparison_view'
import { userMessage } from '../runtime/problem'
import { byId } from './element'
import { describeMachine } from './machine'
import { bundledModels, chosenModels, type Model } from './models'
import { initialiseTabs } from './tabs'

async function main() {
  initialiseTabs(byId('tabs'))
  const base = new URL(import.meta.env.BASE_URL, location.href)
  const machine = await describeMachine()
  byId('machine').textContent = `${machine.browser} on ${machine.os}, ${machine.device ?? machine.cpu}, ${machine.cores} cores`
  const models = await bundledModels(base)
  const benchmark = new BenchmarkView(machine)
  const comparison = new ComparisonView(base)
  const offer = (all: readonly Model[]) => {
    benchmark.offer(all)
    comparison.offer(all)
  }
  offer(models)
  new AgreementView(base, models)
  const input = byId('chosen-models', HTMLInputElement)
  input.addEventListener('change', () => void attempt(async () => {
    const added = await chosenModels([...(input.files ?? [])])
    input.value = '' // so that the same files can be chosen again
    for (const model of added) {
      const known = models.findIndex((other) => other.file === model.file)
      if (known >= 0) models.splice(known, 1)
      models.push(model)
    }
    offer(models)
  }))
  // Until here nothing answers a click.
  for (const id of ['start-benchmark', 'start-agreement', 'examples']) byId(id, HTMLButtonElement).disabled = false
}

/** Show the problem of an action; a success clears the last one. */
async function attempt(action: () => Promise<void>) {
  const place = byId('problem')
  place.hidden = true
  try {
    await action()
  } catch (error) {
    place.textContent = userMessage(error)
    place.hidden = false
  }
}

void attempt(main)
if (import.meta.env.PROD && 'serviceWorker' in navigator) {
  void navigator.serviceWorker.register(new URL('sw.js', new URL(import.meta.env.BASE_URL, location.href)))
}
