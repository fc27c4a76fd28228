import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findCycles } from './graph-cycles.ts';

type Edges = Map<string, string[]>;

function graph(...pairs: readonly string[]): Edges {
  const edges: Edges = new Map();
  for (const [from = '', to = ''] of pairs.map((pair) => pair.split('>'))) edges.set(from, [...(edges.get(from) ?? []), to]);
  return edges;
}

const cycles = (edges: Edges): string[][] => findCycles(edges, () => undefined);

/** Whether any node can reach itself, by plain search. */
function hasCycle(edges: Edges): boolean {
  return [...edges.keys()].some((start) => {
    const seen = new Set<string>();
    const stack = [...(edges.get(start) ?? [])];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (node === start) return true;
      if (seen.has(node)) continue;
      seen.add(node);
      stack.push(...(edges.get(node) ?? []));
    }
    return false;
  });
}

describe('findCycles', () => {
  it.each([
    ['nothing', graph(), []],
    ['a chain', graph('a>b', 'b>c'), []],
    ['a diamond', graph('a>b', 'a>c', 'b>d', 'c>d'), []],
    ['a loop', graph('a>a'), [['a']]],
    ['two nodes', graph('a>b', 'b>a'), [['a', 'b']]],
    ['a shortest way', graph('a>b', 'b>c', 'c>d', 'd>a', 'b>a'), [['a', 'b']]],
    [
      'two parts',
      graph('a>b', 'b>a', 'c>d', 'd>c', 'a>c'),
      [
        ['c', 'd'],
        ['a', 'b'],
      ],
    ],
  ])('%s', (_name, edges, expected) => {
    expect(cycles(edges)).toEqual(expected);
  });

  it('finds a cycle exactly when there is one, and its edges exist', () => {
    const edge = fc.tuple(fc.nat({ max: 12 }), fc.nat({ max: 12 })).map(([from, to]) => `${from}>${to}`);
    fc.assert(
      fc.property(fc.uniqueArray(edge, { maxLength: 40 }), (pairs) => {
        const edges = graph(...pairs);
        const found = cycles(edges);
        expect(found.length > 0).toBe(hasCycle(edges));
        for (const cycle of found) {
          for (const [index, node] of cycle.entries()) expect(edges.get(node)).toContain(cycle[(index + 1) % cycle.length]);
        }
      }),
    );
  });

  it('survives a long way round', () => {
    const pairs = Array.from({ length: 50_000 }, (_, index) => `${index}>${(index + 1) % 50_000}`);
    expect(cycles(graph(...pairs))[0]).toHaveLength(50_000);
  });
});
