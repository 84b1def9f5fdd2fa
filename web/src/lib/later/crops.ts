/** One face of a picture as a picture of its own, with what is around it. */
import { thumbnail } from '../api';
import type { Chosen } from './picture.svelte';

export interface Crop {
  file: Blob;
  url: string;
  ratio: number;
}

const AROUND = 2.6; // ears are higher than a face, manes are wider
const QUALITY = 0.95;

/** `box`: x1, y1, x2, y2 in pixels of the picture. */
export async function cropOf(picture: Chosen, box: readonly number[]): Promise<Crop> {
  const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = box;
  const answer = await fetch(thumbnail(picture.thumbnails, 2048));
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const whole = await createImageBitmap(await answer.blob());
  const scale = whole.width / picture.width;
  const side = Math.min(Math.max(x2 - x1, y2 - y1) * AROUND * scale, whole.width, whole.height);
  const within = (middle: number, most: number) => Math.round(Math.min(Math.max(0, middle - side / 2), most - side));
  const left = within(((x1 + x2) / 2) * scale, whole.width);
  const top = within(((y1 + y2) / 2) * scale, whole.height);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = Math.round(side);
  canvas.getContext('2d')!.drawImage(whole, -left, -top);
  const file = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', QUALITY));
  if (!file) throw new Error('The browser could not cut the face out.');
  return { file, url: URL.createObjectURL(file), ratio: 1 };
}
