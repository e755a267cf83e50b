"""Validates texts against schemas with the jsonschema library, formats included: a line {"schema": …, "text": …} each;
prints a line for each that is no JSON or does not conform, and how many there were."""

import json
import sys

import jsonschema

formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
count = bad = 0
for line in sys.stdin:
    case = json.loads(line)
    count += 1
    try:
        schema = json.loads(case["schema"])
        jsonschema.Draft202012Validator(schema, format_checker=formats).validate(json.loads(case["text"]))
    except (ValueError, jsonschema.ValidationError) as e:
        bad += 1
        print(f"{case['text']!r} does not conform to {case['schema']}: {str(e).splitlines()[0]}")
print(f"{count} texts, {bad} bad")
sys.exit(1 if bad else 0)
