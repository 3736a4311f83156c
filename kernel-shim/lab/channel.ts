/** The line-by-line conversation with init in the guest, over its second serial port. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** Listens where QEMU connects to, so that nothing the guest says is lost. */
export class GuestChannel {
  private socket: Socket | undefined;

  private constructor(
    private readonly server: Server,
    readonly path: string,
  ) {}

  static async listen(path: string): Promise<GuestChannel> {
    const server = createServer();
    server.listen(path);
    await once(server, 'listening');
    return new GuestChannel(server, path);
  }

  /** Every line the guest sends, until it is gone. */
  async *lines(): AsyncGenerator<string> {
    if (!this.server.listening) return;
    const [socket] = (await once(this.server, 'connection')) as [Socket];
    this.socket = socket;
    socket.on('error', () => socket.destroy());
    for await (const line of createInterface({ input: socket })) yield line.trim();
  }

  /** Lets the guest, which waits for a line, go on. */
  goOn(): void {
    this.socket?.write('go\n');
  }

  close(): void {
    this.socket?.destroy();
    this.server.close();
  }
}
