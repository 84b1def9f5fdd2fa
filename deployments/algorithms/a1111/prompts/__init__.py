"""A1111's prompt syntax, as pure functions over text that never depend on a model.

A prompt goes through them in this order: `extra_networks` (styles, comments, `<lora:...>`), `composition` (AND),
`schedules` (`[a:b:0.5]`, `[a|b]`), `attention` (`(a:1.2)`, BREAK), `chunks` (75 tokens each). All work in linear time.
"""
