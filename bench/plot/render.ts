/** Charts as SVG, drawn by ECharts without a browser. */
import { init } from 'echarts';
import type { Document } from '../document.js';

export interface Chart {
  /** A name for files and links: letters, digits and dashes. */
  id: string;
  title: string;
  document: Document;
  heightPx: number;
  /** ECharts' option, but for what all charts share. */
  option: Record<string, unknown>;
}

export const WIDTH_PX = 860;

/** Okabe and Ito's colours, told apart by colour-blind readers too. */
export const colours = { put: '#0072b2', get: '#e69f00', memory: '#009e73', mark: '#555555' } as const;

export function renderSvg({ option, title, document, heightPx }: Chart): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH_PX, height: heightPx });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      color: [colours.put, colours.get, colours.memory],
      textStyle: { fontFamily: 'sans-serif', fontSize: 12 },
      title: { text: title, subtext: subtitle(document), left: 8, top: 4, textStyle: { fontSize: 15 } },
      legend: { top: 8, right: 12, itemGap: 26 },
      ...option,
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

/** What a figure was measured on belongs to its picture. */
function subtitle({ corpus, commit, machine, load, taken_at }: Document): string {
  const pages = corpus.pages.toLocaleString('en');
  return `corpus ${corpus.name}, ${pages} pages; commit ${commit}; ${machine}, load ${load}; ${taken_at.slice(0, 10)}`;
}
