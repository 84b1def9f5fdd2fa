/** What went wrong, in words: the server's own, which say most, after those of the chosen language where that is none. */
import { Problem } from './api';
import { locale, t, type Language } from './locale.svelte';

const words: Partial<Record<Language, Record<string, string>>> = {
  ko: {
    'no-face': '얼굴을 찾지 못했습니다.',
    'bad-image': '이미지를 읽을 수 없습니다.',
    'not-found': '찾을 수 없습니다.',
    forbidden: '허용되지 않습니다.',
    conflict: '다른 변경과 충돌합니다.',
    unauthenticated: '키가 올바르지 않습니다.',
    overloaded: '요청이 너무 많습니다. 잠시 후 다시 시도하세요.',
    unavailable: '잠시 사용할 수 없습니다. 곧 다시 시도하세요.',
    'not-ready': '일부가 아직 준비되지 않았습니다.',
    'not-deployed': '이 서버에 설치되어 있지 않습니다.',
    'weights-missing': '모델 가중치가 없습니다.',
    'quota-exceeded': '저장 공간이 가득 찼습니다.',
    'unsupported-image': '지원하지 않는 이미지 형식입니다.',
    'image-too-large': '이미지가 너무 큽니다.',
    'payload-too-large': '요청이 너무 큽니다.',
    'invalid-request': '요청이 올바르지 않습니다.',
    'deadline-exceeded': '시간이 초과되었습니다.',
    'internal-error': '서버 내부 오류입니다.',
  },
};

export function sayProblem(error: unknown): string {
  if (!(error instanceof Problem)) return error instanceof Error ? error.message : String(error ?? '');
  if (error.code === 'unreachable') return t('unreachable');
  if (error.code === 'cancelled') return t('status_cancelled');
  const known = words[locale.language]?.[error.code];
  return known && known !== error.message ? `${known} (${error.message})` : error.message;
}

/** What a job or an entry of the history says of its end. */
export function sayJobProblem(said: Record<string, unknown>): string {
  const code = String(said.type ?? '').split('/').pop() ?? '';
  return sayProblem(new Problem(0, code, String(said.detail ?? said.title ?? '')));
}
