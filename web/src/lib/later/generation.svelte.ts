/** One generation at a time, from what is asked for to its pictures, with what can be seen of it meanwhile. */
import { base } from '../api';
import { cancel, follow, patiently } from './patience';
import { encoded, read, send } from './sdapi';

export interface ControlType {
  module_list: string[];
  model_list: string[];
  default_option: string;
  default_model: string;
}

export interface Unit {
  key: number;
  type: string;
  module: string;
  model: string;
  weight: number;
  file?: File;
  url: string;
}

/** What is asked for, by the names of the web API. */
export interface Asked {
  prompt: string;
  negative_prompt: string;
  width: number;
  height: number;
  steps: number;
  cfg_scale: number;
  sampler_name: string;
  scheduler: string;
  seed: number;
  n_iter: number;
  denoising_strength: number;
  checkpoint: string;
  vae: string;
  enable_hr: boolean;
  hr_scale: number;
  hr_upscaler: string;
  hr_second_pass_steps: number;
  mask_blur: number;
  inpainting_fill: number;
  inpaint_full_res: boolean;
  inpainting_mask_invert: number;
}

export const FRESH: Asked = {
  prompt: '',
  negative_prompt: '',
  width: 512,
  height: 512,
  steps: 20,
  cfg_scale: 7,
  sampler_name: 'DPM++ 2M',
  scheduler: 'automatic',
  seed: -1,
  n_iter: 1,
  denoising_strength: 0.75,
  checkpoint: '',
  vae: '',
  enable_hr: false,
  hr_scale: 2,
  hr_upscaler: 'Latent',
  hr_second_pass_steps: 0,
  mask_blur: 4,
  inpainting_fill: 1,
  inpaint_full_res: false,
  inpainting_mask_invert: 0,
};

/** The server's own defaults, which its history leaves out. */
const UNSAID: Partial<Asked> = { steps: 50, sampler_name: 'Euler', inpainting_fill: 0, inpaint_full_res: true };

/** What an entry of the history asked for. */
export function recalled(parameters: Record<string, unknown>): Asked {
  const known = Object.keys(FRESH).filter((name) => parameters[name] !== undefined && parameters[name] !== null);
  const settings = (parameters.override_settings ?? {}) as Record<string, unknown>;
  return {
    ...FRESH,
    ...UNSAID,
    ...Object.fromEntries(known.map((name) => [name, parameters[name]])),
    sampler_name: String(parameters.sampler_name ?? parameters.sampler_index ?? UNSAID.sampler_name),
    checkpoint: String(settings.sd_model_checkpoint ?? ''),
    vae: String(settings.sd_vae ?? ''),
  };
}

interface Progress {
  progress: number;
  eta_relative: number;
  current_image: string | null;
}

export interface Shown {
  id: string;
  url: string;
  seed: number;
}

export function urlOf(id: string): string {
  return `${base}/api/v1/files/${id}`;
}

const KEPT = 'generating';
const LOOK_MS = 700;
const PREVIEW_STEPS = 1;

export class Generation {
  isGoing = $state(false);
  progress = $state(0);
  eta = $state(0);
  preview = $state('');
  pictures = $state.raw<Shown[]>([]);
  warnings = $state.raw<string[]>([]);
  error = $state<unknown>();
  #task = '';
  #job = '';

  /** `start`: the picture to begin with; `mask`: of it, white where it changes. */
  make(asked: Asked, start: string, units: Unit[], mask?: Blob): Promise<void> {
    return this.#follow(async () => {
      this.#task = `web-${Math.random().toString(36).slice(2)}`;
      const body = await this.#body(asked, start, units, mask);
      const path = start ? '/sdapi/v1/img2img' : '/sdapi/v1/txt2img';
      const { id } = await patiently(() => send<{ id: string }>(path, body, { Prefer: 'respond-async' }));
      sessionStorage.setItem(KEPT, JSON.stringify([this.#task, id]));
      return id;
    });
  }

  /** Go on with the one that was being made when the page was left. -> whether there was one */
  async resume(): Promise<boolean> {
    const [task, job] = JSON.parse(sessionStorage.getItem(KEPT) ?? '[]');
    if (!job) return false;
    this.#task = task;
    await this.#follow(async () => job);
    return true;
  }

  async #follow(begin: () => Promise<string>): Promise<void> {
    this.isGoing = true;
    this.error = undefined;
    this.progress = this.eta = 0;
    this.preview = '';
    this.warnings = [];
    const looking = setInterval(() => void this.#look(), LOOK_MS);
    try {
      this.#job = await begin();
      const result = await follow<{ images: string[]; info: { all_seeds: number[]; warnings?: string[] } }>(this.#job);
      const { all_seeds: seeds, warnings } = result.info;
      // Maps of ControlNet units come after the pictures.
      const own = result.images.slice(0, seeds.length);
      this.pictures = own.map((id, place) => ({ id, url: urlOf(id), seed: seeds[place] ?? 0 }));
      this.warnings = warnings ?? [];
    } catch (problem) {
      this.error = problem;
    } finally {
      clearInterval(looking);
      this.isGoing = false;
      this.preview = this.#job = '';
      sessionStorage.removeItem(KEPT);
    }
  }

  /** End it with what there is. */
  async interrupt(): Promise<void> {
    await send(`/sdapi/v1/interrupt?force_task_id=${this.#task}`, {}).catch((problem) => (this.error = problem));
  }

  async cancel(): Promise<void> {
    if (this.#job) await cancel(this.#job);
  }

  async #look(): Promise<void> {
    if (!this.#job || document.hidden) return;
    try {
      const said = await read<Progress>('/sdapi/v1/progress', { force_task_id: this.#task });
      this.progress = said.progress;
      this.eta = said.eta_relative;
      if (said.current_image) this.preview = `data:image/png;base64,${said.current_image}`;
    } catch {
      // The next look may tell.
    }
  }

  async #body(asked: Asked, start: string, units: Unit[], mask?: Blob): Promise<Record<string, unknown>> {
    const { checkpoint, vae, denoising_strength, ...rest } = asked;
    const { enable_hr, hr_scale, hr_upscaler, hr_second_pass_steps, ...others } = rest;
    const { mask_blur, inpainting_fill, inpaint_full_res, inpainting_mask_invert, ...said } = others;
    const second = enable_hr ? { enable_hr, hr_scale, hr_upscaler, hr_second_pass_steps, denoising_strength } : {};
    const part = mask && { mask_blur, inpainting_fill, inpaint_full_res, inpainting_mask_invert, mask: await encoded(mask) };
    const used = units.filter((one) => one.file ?? one.url);
    const args = await Promise.all(
      used.map(async ({ module, model, weight, file, url }) => ({
        // Its map is shown beside it already: among the pictures it would only be in the way.
        ...{ enabled: true, module, model, weight, save_detected_map: false },
        image: await encoded(file ?? url),
      })),
    );
    return {
      ...said,
      force_task_id: this.#task,
      override_settings: {
        show_progress_every_n_steps: PREVIEW_STEPS,
        ...(checkpoint ? { sd_model_checkpoint: checkpoint } : {}),
        ...(vae ? { sd_vae: vae } : {}),
      },
      ...(start ? { init_images: [await encoded(start)], denoising_strength, ...part } : second),
      ...(args.length ? { alwayson_scripts: { ControlNet: { args } } } : {}),
    };
  }
}
