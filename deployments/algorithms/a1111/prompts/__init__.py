"""A1111's prompt syntax, as pure functions over text: what the engine is told never depends on a model.

The order in which a prompt goes through them: `markup` (styles, comments, `<lora:...>`), `composition` (AND),
`schedules` (`[a:b:0.5]`, `[a|b]`), `attention` (`(a:1.2)`, BREAK), `chunks` (75 tokens each). All work in linear time.
"""
