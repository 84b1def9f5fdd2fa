/** The large picture that was open when the document was loaded anew. The router forgets that of this step as it starts. */
interface Step {
  'sveltekit:history'?: number;
  'sveltekit:states'?: App.PageState;
}
const step = (): Step => (history.state as Step | null) ?? {};
const { 'sveltekit:history': place, 'sveltekit:states': state } = step();
let large = state?.large;

/** Take it, once. -> nothing where another step of the history has come meanwhile */
export function takeLeft(): string | undefined {
  const left = place === step()['sveltekit:history'] ? large : undefined;
  large = undefined;
  return left;
}
