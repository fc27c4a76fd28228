import { useEffect, useRef } from 'react';
import UPlot from 'uplot';
import type { History } from '../api/types.ts';
import { numberText } from '../words.ts';
import { Empty } from './basics.tsx';
import { plotStyle, repaintWithTheme } from './plot.ts';

const HEIGHT_PX = 170;
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const MINUTE_S = 60;

/** One line of the history; a null is a gap. */
export interface HistoryLine {
  readonly label: string;
  readonly color: string;
  readonly values: readonly (number | null)[];
  /** Drawn with an area below. */
  readonly isFilled?: boolean;
}

/**
 * A day of counts. What the picture shows is said in words too: the lowest and the highest value of each line. The present is not:
 * its step is not over, and the page says it elsewhere.
 */
export function HistoryChart({ history, lines }: { readonly history: History; readonly lines: readonly HistoryLine[] }) {
  const host = useRef<HTMLDivElement>(null);
  const shape = lines.map(({ label, color }) => `${label} ${color}`).join('|');
  const known = lines.some(({ values }) => values.filter((value) => value !== null).length > 1);
  const data = useRef<{ readonly history: History; readonly lines: readonly HistoryLine[] }>({ history, lines });
  data.current = { history, lines };
  const chart = useRef<UPlot | null>(null);

  useEffect(() => {
    const element = host.current;
    if (element === null) return undefined;
    const { axis, colorOf, frame, line } = plotStyle(element, HEIGHT_PX);
    const plot = new UPlot(
      {
        ...frame,
        axes: [
          { ...axis, size: 26, space: 70, values: (_plot, seconds) => seconds.map((at) => CLOCK.format(at * 1_000)) },
          { ...axis, size: 58, space: 34, values: (_plot, values) => values.map((value) => numberText(value)) },
        ],
        series: [
          {},
          ...data.current.lines.map(({ color, isFilled }) => ({
            ...line(color),
            ...(isFilled === true ? { fill: () => colorOf(`${color}-back`) } : {}),
          })),
        ],
      },
      aligned(data.current),
      element,
    );
    chart.current = plot;
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    observer.observe(element);
    const endTheme = repaintWithTheme(plot);
    return () => {
      endTheme();
      observer.disconnect();
      plot.destroy();
      chart.current = null;
    };
  }, [shape, known]);

  useEffect(() => {
    chart.current?.setData(aligned({ history, lines }));
  }, [history, lines]);

  if (!known)
    return (
      <Empty title="Nothing has been recorded yet">
        <p className="muted">A coordinator notes the connections of each minute; two minutes make a line.</p>
      </Empty>
    );
  return (
    <figure className="chart">
      <figcaption>
        <ul className="legend">
          {lines.map(({ label, color, values }) => {
            const seen = values.filter((value) => value !== null);
            return (
              <li key={label}>
                <span className={`swatch swatch-${color}`} />
                {label}{' '}
                <span>
                  (lowest {numberText(Math.min(...seen))}, highest {numberText(Math.max(...seen))})
                </span>
              </li>
            );
          })}
        </ul>
      </figcaption>
      <div ref={host} className="chart-area" aria-hidden="true" />
    </figure>
  );
}

function aligned({ history, lines }: { readonly history: History; readonly lines: readonly HistoryLine[] }): UPlot.AlignedData {
  const fromS = Date.parse(history.from) / 1_000;
  const length = lines[0]?.values.length ?? 0;
  const times = Array.from({ length }, (_, index) => fromS + index * history.stepMinutes * MINUTE_S);
  return [times, ...lines.map(({ values }) => [...values])] as UPlot.AlignedData;
}
