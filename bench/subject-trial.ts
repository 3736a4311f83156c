/** One trial of one subject: set up afresh, measured as paging.ts says, its memory read at the end. */
import { at, type Figure, figure } from './figure.js';
import { measurePaging, served } from './paging.js';
import { subjects } from './subjects/subjects.js';

export interface SubjectTrialSettings {
  subject: string;
  corpus: { file: string; pages: number };
  depth: number;
  chunkPages: number;
  seed: number;
}

export default async function subjectTrial(settings: SubjectTrialSettings): Promise<Figure[]> {
  const { corpus, depth, chunkPages, seed } = settings;
  const subject = subjects[settings.subject];
  if (!subject) throw new Error(`there is no subject '${settings.subject}'`);
  const running = await subject.start(corpus);
  try {
    const { floor } = running;
    const deep = served(running.keeper(depth));
    const single = served(running.keeper(1));
    const figures = measurePaging({ pageCount: corpus.pages, chunkPages, seed, floor, deep, single });
    return at({ depth }, [
      ...figures,
      figure('lz4_bytes', floor.compressedBytes() / corpus.pages),
      figure('used_bytes', (await running.memoryBytes()) / corpus.pages),
    ]);
  } finally {
    await running.stop();
  }
}
