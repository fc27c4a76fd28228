import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { parseEndpoint, type Endpoint } from './endpoint.ts';

/** A TCP server that does exactly what a test scripts, for testing the raw clients. */
export interface ScriptedServer {
  readonly endpoint: Endpoint;
  stop(): Promise<void>;
}

/** Listens on a free port; `script` gets each connection with what it has sent up to the end of a request head. */
export const startScriptedServer = async (script: (socket: Socket, requestHead: string) => void): Promise<ScriptedServer> => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    let head = '';
    const onData = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', onData);
      script(socket, head);
    };
    socket.on('data', onData);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: parseEndpoint(`http://127.0.0.1:${port}/v1/opamp`),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
};

/** The correct 101 response to an upgrade request. */
export const acceptUpgrade = (requestHead: string, extraHeaders = ''): string => {
  const key = /^sec-websocket-key: (.*)$/im.exec(requestHead)?.[1]?.trim() ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${extraHeaders}\r\n`;
};
