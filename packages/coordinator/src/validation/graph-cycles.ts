/**
 * One cycle for each strongly connected part of a directed graph that contains one, as a list of nodes in the order of the
 * edges. Works in linear time and without recursion. `edges` maps a node to its successors; `onStep` is called per unit of work.
 */
export function findCycles(edges: ReadonlyMap<string, readonly string[]>, onStep: () => void): string[][] {
  const cycles: string[][] = [];
  for (const component of stronglyConnected(edges, onStep)) {
    const start = component[component.length - 1];
    if (start === undefined) continue;
    const loops = edges.get(start)?.includes(start) ?? false;
    if (component.length > 1 || loops) cycles.push(cycleWithin(start, new Set(component), edges, onStep));
  }
  return cycles;
}

interface Visit {
  readonly node: string;
  readonly successors: readonly string[];
  next: number;
}

/** Tarjan's algorithm with its own stack; each part ends with the node by which it was entered. */
function stronglyConnected(edges: ReadonlyMap<string, readonly string[]>, onStep: () => void): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const waiting: string[] = [];
  const isWaiting = new Set<string>();
  const components: string[][] = [];
  const enter = (node: string): Visit => {
    order.set(node, order.size);
    low.set(node, order.size - 1);
    waiting.push(node);
    isWaiting.add(node);
    return { node, successors: edges.get(node) ?? [], next: 0 };
  };
  const lower = (node: string, value: number): void => {
    low.set(node, Math.min(low.get(node) ?? value, value));
  };
  for (const root of edges.keys()) {
    if (order.has(root)) continue;
    const path = [enter(root)];
    for (let visit = path.at(-1); visit !== undefined; visit = path.at(-1)) {
      onStep();
      const successor = visit.successors[visit.next];
      if (successor !== undefined) {
        visit.next += 1;
        if (!order.has(successor)) path.push(enter(successor));
        else if (isWaiting.has(successor)) lower(visit.node, order.get(successor) ?? 0);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) lower(parent.node, low.get(visit.node) ?? 0);
      if (low.get(visit.node) !== order.get(visit.node)) continue;
      const component: string[] = [];
      for (let member = waiting.pop(); member !== undefined; member = waiting.pop()) {
        isWaiting.delete(member);
        component.push(member);
        if (member === visit.node) break;
      }
      components.push(component);
    }
  }
  return components;
}

/** A shortest way from a node back to itself inside its part. */
function cycleWithin(
  start: string,
  members: ReadonlySet<string>,
  edges: ReadonlyMap<string, readonly string[]>,
  onStep: () => void,
): string[] {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (let index = 0; index < queue.length; index += 1) {
    const node = queue[index] ?? start;
    for (const successor of edges.get(node) ?? []) {
      onStep();
      if (successor === start) {
        const cycle = [node];
        for (let at = node; at !== start;) {
          at = cameFrom.get(at) ?? start;
          cycle.push(at);
        }
        return cycle.reverse();
      }
      if (!members.has(successor) || cameFrom.has(successor)) continue;
      cameFrom.set(successor, node);
      queue.push(successor);
    }
  }
  return [start];
}
