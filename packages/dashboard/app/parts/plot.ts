import type UPlot from 'uplot';

/** What every chart has in common: a scale from zero, no legend or cursor of its own, lines and axes in colours of the style sheet. */
export function plotStyle(element: HTMLElement, heightPx: number) {
  const colorOf = (name: string): string => resolveColor(element, `var(--${name})`);
  const frame = {
    width: element.clientWidth,
    height: heightPx,
    cursor: { show: false },
    legend: { show: false },
    scales: { y: { range: (_plot: UPlot, _low: number, high: number): UPlot.Range.MinMax => [0, Math.max(4, high * 1.1)] } },
  };
  const axis = {
    stroke: () => colorOf('muted'),
    grid: { stroke: () => colorOf('line'), width: 1 },
    ticks: { show: false },
    font: `11px ${getComputedStyle(element).fontFamily}`,
  };
  const line = (color: string) => ({ stroke: () => colorOf(color), width: 2, points: { show: false } });
  return { colorOf, frame, axis, line };
}

/** Paints a chart anew when the colours of the page change, by choice or with the system. Returns what ends that. */
export function repaintWithTheme(plot: UPlot): () => void {
  const repaint = (): void => plot.redraw();
  const chosen = new MutationObserver(repaint);
  chosen.observe(document.documentElement, { attributeFilter: ['data-theme'] });
  const system = matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', repaint);
  return () => {
    chosen.disconnect();
    system.removeEventListener('change', repaint);
  };
}

/** A canvas knows no custom properties: the browser computes the colour. */
function resolveColor(element: HTMLElement, value: string): string {
  const probe = document.createElement('span');
  probe.style.color = value;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
