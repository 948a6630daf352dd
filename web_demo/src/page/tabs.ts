/** Make buttons with the role `tab` switch between their panels, with the keys that screen readers expect. */
export function initialiseTabs(list: HTMLElement): void {
  const tabs = [...list.querySelectorAll<HTMLButtonElement>('[role=tab]')]
  const select = (chosen: HTMLButtonElement) => {
    for (const tab of tabs) {
      const selected = tab === chosen
      tab.setAttribute('aria-selected', String(selected))
      tab.tabIndex = selected ? 0 : -1
      panelOf(tab).hidden = !selected
    }
  }
  const visit = (chosen: HTMLButtonElement) => {
    select(chosen)
    history.replaceState(null, '', `#${panelOf(chosen).id}`)
  }
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener('click', () => { visit(tab) })
    tab.addEventListener('keydown', (event) => {
      const next = tabs[(i + (STEPS[event.key] ?? 0) + tabs.length) % tabs.length]
      if (!next || next === tab) return
      event.preventDefault()
      visit(next)
      next.focus()
    })
  }
  const first = tabs.find((tab) => `#${panelOf(tab).id}` === location.hash) ?? tabs[0]
  if (first) select(first)
}

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1 }

function panelOf(tab: HTMLElement): HTMLElement {
  const panel = document.getElementById(tab.getAttribute('aria-controls') ?? '')
  if (!panel) throw new Error(`The tab ${tab.id} has no panel.`)
  return panel
}
