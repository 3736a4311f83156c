/** All the checks that are broken, those of one file after the other. */
import { controlPlane } from './control-plane.js';
import { device } from './device.js';
import { driver } from './driver.js';
import { engine } from './engine.js';
import type { Mutation } from './mutation.js';

export const MUTATIONS: readonly Mutation[] = [...engine, ...device, ...controlPlane, ...driver];
