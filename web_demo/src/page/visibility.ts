/** Records whether the page was hidden, when browsers slow it down. */
export class Visibility {
  private wasHidden = document.hidden

  constructor() {
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.wasHidden = true
    })
  }

  /** Start a new row. */
  reset(): void {
    this.wasHidden = document.hidden
  }

  /** Why times measured since `reset` are invalid; null if they are valid. */
  invalid(): string | null {
    return this.wasHidden ? 'The page was hidden during this row; keep its tab in front, and measure again.' : null
  }
}
