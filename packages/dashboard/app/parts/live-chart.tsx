import { useEffect, useRef, useState } from 'react';
import UPlot from 'uplot';
import { plotStyle, repaintWithTheme } from './plot.ts';

/** One line of a chart. */
export interface Series {
  readonly label: string;
  readonly value: number;
  /** Name of a colour of the style sheet. */
  readonly color: string;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const MAX_POINTS = 1_200;
const HEIGHT_PX = 150;

/** Lines over the time for which this page has been open; a point each time the numbers were read. */
export function LiveChart({ label, series, at }: { readonly label: string; readonly series: readonly Series[]; readonly at: number }) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<UPlot | null>(null);
  const points = useRef<number[][]>([]);
  const [, setWidth] = useState(0);
  const names = series.map(({ label: name }) => name).join('|');

  useEffect(() => {
    const element = host.current;
    if (element === null) return undefined;
    points.current = [[], ...series.map(() => [])];
    const { axis, frame, line } = plotStyle(element, HEIGHT_PX);
    const plot = new UPlot(
      {
        ...frame,
        axes: [
          { ...axis, size: 26, space: 90, values: (_plot, seconds) => seconds.map((at) => CLOCK.format(at * 1_000)) },
          { ...axis, size: 44, space: 30, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6] },
        ],
        series: [{}, ...series.map(({ color }) => line(color))],
      },
      points.current as unknown as UPlot.AlignedData,
      element,
    );
    chart.current = plot;
    const observer = new ResizeObserver(() => {
      plot.setSize({ width: element.clientWidth, height: HEIGHT_PX });
      setWidth(element.clientWidth);
    });
    observer.observe(element);
    const endTheme = repaintWithTheme(plot);
    return () => {
      endTheme();
      observer.disconnect();
      plot.destroy();
      chart.current = null;
    };
    // A chart is made anew for other lines only; new values are added below.
  }, [names]);

  useEffect(() => {
    const columns = points.current;
    if (at === 0 || columns[0] === undefined || (columns[0].at(-1) ?? 0) >= at / 1_000) return;
    [at / 1_000, ...series.map(({ value }) => value)].forEach((value, index) => columns[index]?.push(value));
    if (columns[0].length > MAX_POINTS) for (const column of columns) column.shift();
    // One point has no scale.
    if (columns[0].length > 1) chart.current?.setData(columns as unknown as UPlot.AlignedData);
  }, [at, series]);

  return (
    <figure className="chart">
      <figcaption>
        {label}
        <ul className="legend">
          {series.map(({ label: name, color, value }) => (
            <li key={name}>
              <span className={`swatch swatch-${color}`} />
              {name} <strong>{value.toLocaleString('en')}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <div ref={host} className="chart-area" aria-hidden="true" />
    </figure>
  );
}
