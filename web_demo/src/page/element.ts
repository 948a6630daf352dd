type Attributes = Record<string, string | number | boolean>

/** Create an element; attributes that are false are left out, and true ones are empty. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name, attributes: Attributes = {}, ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  setAttributes(made, attributes)
  made.append(...children)
  return made
}

/** Create an element of an SVG image. */
export function svgElement(name: string, attributes: Attributes = {}, ...children: Node[]): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name)
  setAttributes(made, attributes)
  made.append(...children)
  return made
}

/** The page's element with an id. */
export function byId(id: string): HTMLElement
export function byId<Type extends HTMLElement>(id: string, kind: new () => Type): Type
export function byId(id: string, kind: new () => HTMLElement = HTMLElement): HTMLElement {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}.`)
  return found
}

function setAttributes(made: Element, attributes: Attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? '' : String(value))
  }
}
