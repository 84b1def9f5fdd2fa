// Recorder of the requests in this folder, as Node's own `fetch` writes them, which Immich's server uses:
//
//     node tests/support/immich/record.mjs FACES.png
//
// A listener on the loopback interface keeps the bytes of each request and answers the least that `fetch` accepts.
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';

const PORT = 3003; // Immich's own
const PICTURE = readFileSync(process.argv[2]);
const CLIP = 'ViT-B-32__openai';
const FACES = 'buffalo_l';
const DETECTION = { modelName: FACES, options: { minScore: 0.7 } };
const OCR = 'PP-OCRv5_mobile';

const visual = { clip: { visual: { modelName: CLIP } } };
const faces = { 'facial-recognition': { detection: DETECTION, recognition: { modelName: FACES } } };

const requests = {
  ping: null,
  clip_visual: [visual, { image: PICTURE }],
  clip_textual: [{ clip: { textual: { modelName: CLIP, options: { language: 'ko' } } } }, { text: '빨간 사진' }],
  clip_textual_without_language: [{ clip: { textual: { modelName: CLIP, options: {} } } }, { text: 'red' }],
  faces: [faces, { image: PICTURE }],
  faces_recognition_first: [
    {
      'facial-recognition': {
        recognition: { modelName: FACES, options: { minScore: 0.034 } },
        detection: { modelName: FACES },
      },
    },
    { image: PICTURE },
  ],
  two_tasks: [{ ...visual, ...faces }, { image: PICTURE }],
  ocr: [
    {
      ocr: {
        detection: { modelName: OCR, options: { minScore: 0.5, maxResolution: 736 } },
        recognition: { modelName: OCR, options: { minScore: 0.8 } },
      },
    },
    { image: PICTURE },
  ],
  empty_picture: [visual, { image: new Uint8Array() }],
};

let received;
const server = createServer((socket) => {
  received = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    if (isWhole(received)) {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}');
    }
  });
});
await new Promise((ready) => server.listen(PORT, '127.0.0.1', ready));
const origin = `http://127.0.0.1:${PORT}/a/path/that/is/dropped`;
for (const [name, sent] of Object.entries(requests)) {
  const response =
    sent === null
      ? await fetch(new URL('/ping', origin))
      : await fetch(new URL('/predict', origin), { method: 'POST', body: formOf(...sent) });
  await response.text();
  writeFileSync(new URL(`${name}.http`, import.meta.url), received);
}
server.close();

function formOf(entries, { image, text }) {
  const form = new FormData();
  form.set('entries', JSON.stringify(entries));
  if (image) form.set('image', new Blob([image]));
  if (text) form.set('text', text);
  return form;
}

function isWhole(bytes) {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return false;
  const length = /content-length: (\d+)/i.exec(bytes.subarray(0, head).toString())?.[1] ?? 0;
  return bytes.length >= head + 4 + Number(length);
}
