/** The control plane: what a front end may send, who has the device, how much each may take. */
import { inFile, type Mutation } from './mutation.js';

const session = ['test/unit/vhost-user/session.test.ts'];
const frontEnds = ['test/unit/guest/front-ends.test.ts'];
const guest = ['test/unit/guest/guest.test.ts'];
const announcer = ['test/unit/vhost-user/config-announcer.test.ts'];
const memoryMap = ['test/unit/config/memory-map.test.ts'];
const exposition = ['test/unit/metrics/exposition.test.ts'];

export const controlPlane: readonly Mutation[] = [
  ...inFile('src/vhost-user/message.ts', session, [
    {
      check: 'a payload is no larger than its message has',
      from: 'if (payloadBytes < least || payloadBytes > most || (payloadBytes - least) % step !== 0) {',
      to: 'if (payloadBytes < least || (payloadBytes - least) % step !== 0) {',
    },
    {
      check: 'a message brings as many descriptors as it has',
      from: 'if (fds.length < rule.fds.least || fds.length > rule.fds.most) {',
      to: 'if (fds.length < rule.fds.least) {',
    },
  ]),
  ...inFile('src/vhost-user/session.ts', session, [
    {
      check: 'the descriptors of half a message are closed when the service ends the connection',
      from: ']).then(() => this.#discards.closed());',
      to: ']);',
    },
    {
      check: 'nothing is done before SET_OWNER that needs it',
      from: "if (rule.order !== 'any' && !this.#owned) throw",
      to: "if (rule.order === 'owned' && !this.#owned) throw",
    },
    {
      check: 'a message needs its protocol feature',
      from: 'if (rule.needs !== undefined && !(this.#protocolFeatures & rule.needs)) {',
      to: 'if (rule.needs !== undefined && !(OFFERED_PROTOCOL_FEATURES & rule.needs)) {',
    },
    {
      check: 'a refusal is told in the answer where one is wanted, and ends the connection where not',
      from: 'if (!acknowledge) throw',
      to: 'if (false) throw',
    },
    {
      check: 'a kick descriptor is an eventfd',
      from: "    const vring = this.#vring('SET_VRING_KICK', index);\n    requireKind(this.#options.native, message.fds[0], 'eventfd');",
      to: "    const vring = this.#vring('SET_VRING_KICK', index);",
    },
    {
      check: 'a call descriptor is an eventfd',
      from: "      const vring = this.#vring('SET_VRING_CALL', index);\n      requireKind(this.#options.native, fds[0], 'eventfd');",
      to: "      const vring = this.#vring('SET_VRING_CALL', index);",
    },
    {
      check: 'there are no more memory regions than a guest may have',
      from: 'this.#requireSlots(this.#regionCount + 1);',
      to: 'this.#requireSlots(this.#regionCount);',
    },
    {
      check: 'what was reserved for memory that is refused is given back',
      from: '      await device.close();\n      claim.release();\n      throw error;',
      to: '      await device.close();\n      throw error;',
    },
  ]),
  ...inFile('src/vhost-user/config-announcer.ts', announcer, [
    {
      check: 'a change is not announced to a driver that is not up',
      from: 'if (!this.#owed || !this.#settled || !this.#channel || this.#channel.busy) return;',
      to: 'if (!this.#owed || !this.#channel || this.#channel.busy) return;',
    },
  ]),
  ...inFile('src/guest/front-ends.ts', frontEnds, [
    {
      check: 'one front end has the device',
      from: '        if (this.#holder && this.#holder !== frontEnd) {\n          this.#refused',
      to: '        if (this.#holder?.taken && this.#holder === frontEnd) {\n          this.#refused',
    },
    {
      check: 'a front end whose process has ended is gone, whoever holds its socket',
      from: 'if (watchPeer) connection.watchPeer(() => this.#processEnded(frontEnd));',
      to: '',
    },
    {
      check: 'a connection that says nothing is closed',
      from: "this.#end(frontEnd, 'closed: silent'));",
      to: '{});',
    },
  ]),
  ...inFile('src/guest/pools-keeper.ts', guest, [
    {
      check: 'the pools of a guest whose front end is back are kept',
      from: '    clearTimeout(this.#orphanTimer);\n    this.#orphaned = false;\n  }',
      to: '    this.#orphaned = false;\n  }',
    },
    {
      check: 'no front end gets the device while the pools of the one before are dropped',
      from: '    return this.#dropped;\n  }\n\n  frontEndCame',
      to: '    return Promise.resolve();\n  }\n\n  frontEndCame',
    },
  ]),
  ...inFile('src/config/memory-map.ts', memoryMap, [
    {
      check: 'all guests together may map no more than there is',
      from: 'else if (memoryMapBytesMax > left) {',
      to: 'else if (memoryMapBytesMax > ADDRESS_SPACE_BYTES) {',
    },
  ]),
  ...inFile('src/metrics/sound-samples.ts', exposition, [
    {
      check: 'no number that cannot be is exposed',
      from: "return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;",
      to: "return typeof value === 'number' && !(value < 0);",
    },
  ]),
];
