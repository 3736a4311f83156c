/** QEMU's machine protocol, as much of it as a test needs. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** Executes one command. @throws Error when QEMU refuses it */
export async function qmp(socketPath: string, execute: string, args?: object): Promise<unknown> {
  const socket = connect(socketPath);
  await once(socket, 'connect');
  try {
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const answer = async (command: object): Promise<unknown> => {
      socket.write(`${JSON.stringify(command)}\n`);
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`QEMU hung up on ${execute}`);
        const said: { return?: unknown; error?: { desc: string } } = JSON.parse(value);
        if (said.error) throw new Error(`${execute}: ${said.error.desc}`);
        if ('return' in said) return said.return; // what is neither is an event
      }
    };
    await lines.next(); // the greeting
    await answer({ execute: 'qmp_capabilities' });
    return await answer({ execute, arguments: args });
  } finally {
    socket.destroy();
  }
}
