"""One documented file per table or figure: command, hardware, time, expected number."""
