/** QEMU's machine protocol, as much of it as a test needs. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

interface Said {
  return?: unknown;
  error?: { desc: string };
  event?: string;
}

/** Executes one command and, when `event` is named, waits until QEMU says it after that. @throws Error when QEMU refuses */
export async function qmp(
  socketPath: string,
  execute: string,
  args?: object,
  event?: string,
): Promise<unknown> {
  const socket = connect(socketPath);
  await once(socket, 'connect');
  try {
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const until = async (holds: (said: Said) => boolean): Promise<Said> => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`QEMU hung up on ${execute}`);
        const said: Said = JSON.parse(value);
        if (said.error) throw new Error(`${execute}: ${said.error.desc}`);
        if (holds(said)) return said;
      }
    };
    const answer = async (command: object): Promise<unknown> => {
      socket.write(`${JSON.stringify(command)}\n`);
      return (await until((said) => 'return' in said)).return;
    };
    await lines.next(); // the greeting
    await answer({ execute: 'qmp_capabilities' });
    const returned = await answer({ execute, arguments: args });
    if (event !== undefined) await until((said) => said.event === event);
    return returned;
  } finally {
    socket.destroy();
  }
}
