/** One server-sent event. */
export interface StreamEvent {
  id: string | undefined;
  type: string;
  data: string;
}

/** Reads server-sent events from bytes; comments are left out. [HTML Standard, section Server-sent events] */
export async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder();
  let pending = '';
  let event: { id: string | undefined; type: string; data: string[] } = { id: undefined, type: 'message', data: [] };
  for await (const chunk of stream) {
    pending += decoder.decode(chunk, { stream: true });
    const lines = pending.split(/\r\n|\n|\r(?!$)/);
    pending = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (event.data.length > 0) yield { id: event.id, type: event.type, data: event.data.join('\n') };
        event = { id: undefined, type: 'message', data: [] };
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'data') event.data.push(value);
      else if (field === 'event') event.type = value;
      else if (field === 'id') event.id = value;
    }
  }
}
