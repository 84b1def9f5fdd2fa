/** Calls that are repeated while what they need is away or full, and jobs that are followed to their end. */
import { client, done, isGoing, Problem, problemOf, STRANGER, type Job } from '../api';
import { repeat } from '../repeat';

const TRIES = 6;

function mayPass(error: unknown): error is Problem {
  return error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);
}

/** Do it, again and again where the server is away or full. `isOver`: whether nobody wants it any more. */
export async function patiently<T>(act: () => Promise<T>, isOver: () => boolean = () => false): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await act();
    } catch (error) {
      if (!mayPass(error) || tries === TRIES || isOver()) throw error;
      await new Promise((resolve) => setTimeout(resolve, (error.retryAfter || 2 ** tries) * 1000));
    }
  }
}

/** Follow a job to its end. -> its result. Throws a `Problem` where it has none. `tell`: is told how far it is. */
export function follow<Result>(id: string, tell: (job: Job) => void = () => {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const stop = repeat(async () => {
      try {
        const job = await done(client.GET('/api/v1/jobs/{job_id}', { params: { path: { job_id: id } } }));
        tell(job);
        if (isGoing(job)) return true;
        stop();
        if (job.status === 'succeeded') resolve(job.result as Result);
        else if (job.problem) reject(problemOf(Number(job.problem.status), job.problem, null, STRANGER)); // not of this session
        else reject(new Problem(409, job.status, job.status));
      } catch (error) {
        if (mayPass(error)) return true; // a server that starts anew goes on with it
        stop();
        reject(error);
      }
      return false;
    });
  });
}

/** Ask a job to stop, also while the page is being left; that it has ended already is no trouble. */
export async function cancel(id: string): Promise<void> {
  await done(client.DELETE('/api/v1/jobs/{job_id}', { params: { path: { job_id: id } }, keepalive: true })).catch(() => {});
}
