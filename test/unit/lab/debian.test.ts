/** Where the lab finds the Debian archive: what apt's own configuration says, in either notation. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const script = path.resolve('kernel-shim/lab/debian.sh');

describe('the Debian archive’s address', () => {
  let folder: string;
  let codename: string;

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'tmemd-test-'));
    codename = (await execa('bash', ['-c', '. /etc/os-release; echo "$VERSION_CODENAME"'])).stdout;
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Asks with apt's configuration replaced by the sources given. */
  async function mirror(name: string, sources: string) {
    mkdirSync(path.join(folder, 'sources'));
    writeFileSync(path.join(folder, 'sources', name), sources);
    writeFileSync(
      path.join(folder, 'apt.conf'),
      `Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "${folder}/sources";\n`,
    );
    return execa('bash', ['-c', `. ${script}; debian_mirror`], {
      env: { APT_CONFIG: path.join(folder, 'apt.conf') },
      reject: false,
    });
  }

  test('one-line sources, updates and security left out', async () => {
    const sources = [
      `deb http://security.example/debian-security ${codename}-security main`,
      `deb http://mirror.example/debian ${codename}-updates main`,
      `deb [arch=amd64] http://mirror.example/debian/ ${codename} main contrib`,
    ];
    expect((await mirror('debian.list', `${sources.join('\n')}\n`)).stdout).toBe(
      'http://mirror.example/debian',
    );
  });

  test('deb822 sources beside another vendor’s', async () => {
    const sources = [
      'Types: deb\nURIs: https://vendor.example/node\nSuites: nodistro\nComponents: main\n',
      `Types: deb\nURIs: https://mirror.example/debian\nSuites: ${codename} ${codename}-updates\nComponents: main\n`,
    ];
    expect((await mirror('debian.sources', sources.join('\n'))).stdout).toBe('https://mirror.example/debian');
  });

  test('no source for this release: one line says so', async () => {
    const answer = await mirror('vendor.list', 'deb http://vendor.example/x nodistro main\n');
    expect(answer.exitCode).not.toBe(0);
    expect(answer.stderr).toMatch(/^apt: no source for Debian \S+ in apt/m);
  });
});
