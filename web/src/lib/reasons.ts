/** Why a picture is suggested to be kept: the server says so in English. */
import { locale, type Language } from './locale.svelte';

const words: Record<Exclude<Language, 'en'>, Record<string, string>> = {
  ko: {
    'highest resolution': '해상도가 가장 높음',
    'no border': '테두리 없음',
    'nothing drawn on it': '덧그린 것이 없음',
    'fewest changes': '가장 적게 바뀜',
    'best quality': '화질이 가장 좋음',
    'least compressed': '가장 적게 압축됨',
    'most frames': '프레임이 가장 많음',
    'keeps transparency': '투명도 유지',
    'most bits a sample': '색 심도가 가장 깊음',
    'original format': '원본 형식',
    'equal in quality': '화질이 같음',
    'eyes open': '눈을 뜬 사진',
    'sharpest faces': '얼굴이 가장 선명함',
    'as good as the others': '다른 사진과 비슷함',
  },
};

export function sayReason(reason: string): string {
  return locale.language === 'en' ? reason : (words[locale.language][reason] ?? reason);
}
