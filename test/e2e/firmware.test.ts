/** The disk of the personality blk, seen by the firmware: SeaBIOS boots from it, reads and writes. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { checkout, oldQemuCommand } from '../../kernel-shim/lab/artefacts.js';
import { BlkGuest, SECTOR_BYTES } from '../mock/blk-guest.js';
import { Service } from '../mock/service.js';

const BOOT_MS = 120_000;
/** As in boot-sector.S. */
const FIRST = 8;
const COUNT = 16;
/** The boot sector's 0, as QEMU's debug exit makes it an exit status. */
const WENT_WELL = 1;

/** The boot sector, assembled. */
function bootSector(folder: string): Buffer {
  const source = path.join(checkout, 'test/e2e/boot-sector.S');
  const [object, binary] = [path.join(folder, 'boot.o'), path.join(folder, 'boot.bin')];
  execFileSync('as', ['--32', '-o', object, source]);
  execFileSync('ld', ['-m', 'elf_i386', '-Ttext', '0x7c00', '--oformat', 'binary', '-o', binary, object]);
  return readFileSync(binary);
}

test('SeaBIOS boots from the disk with blocks of 512 bytes, reads and writes', {
  timeout: 300_000,
}, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tmemd-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [program = '', ...first] = await oldQemuCommand(new AbortController().signal);
  const service = await Service.start({
    guests: { disk: { personality: 'blk', size: '4MiB', block_size: 512 } },
  });
  onTestFinished(async () => void (await service.stop()));
  const boot = bootSector(folder);
  const content = Buffer.from(
    Array.from({ length: COUNT * SECTOR_BYTES }, (_, at) => (at * 7 + (at >> 8)) & 0xff),
  );

  const before = new BlkGuest(service.socket('disk'), { queues: 2 });
  expect(before.write(0, 0, boot).status).toBe(0);
  expect(before.write(0, FIRST, content).status).toBe(0);
  before.close();

  const saidPath = path.join(folder, 'said');
  const memory = 'memory-backend-memfd,id=ram,size=64M,share=on';
  const qemu = await execa(
    program,
    [
      ...[...first, '-nodefaults', '-display', 'none', '-no-reboot', '-m', '64M', '-object', memory],
      ...['-machine', 'q35,memory-backend=ram', '-accel', 'tcg', '-debugcon', `file:${saidPath}`],
      ...[
        '-device',
        'isa-debug-exit,iobase=0xf4,iosize=4',
        '-chardev',
        `socket,id=disk,path=${service.socket('disk')}`,
      ],
      ...['-device', 'vhost-user-blk-pci,chardev=disk,num-queues=1,bootindex=0'],
    ],
    { stdin: 'ignore', reject: false, timeout: BOOT_MS },
  );
  const said = readFileSync(saidPath);
  expect(qemu.exitCode, qemu.stderr).toBe(WENT_WELL);
  // The firmware may use the console too.
  expect(said.includes(content)).toBe(true);

  const after = new BlkGuest(service.socket('disk'), { queues: 2 });
  onTestFinished(() => after.close());
  expect(after.read(0, FIRST + COUNT, content.length).data.equals(content)).toBe(true);
  const { device } = await service.admin.guest('disk');
  expect(device).toMatchObject({ badRequestsTotal: 0, brokenChainsTotal: 0 });
});
