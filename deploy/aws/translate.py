"""The translation of a SAM template to CloudFormation, by the tools' own Python: `translate.py < template.yaml`.

It runs as a script in the environment of deploy/aws/tools.txt, which has SAM's translator and nothing of ours.
"""

import json
import sys


def main() -> None:
    from samtranslator.translator.transform import transform
    from samtranslator.yaml_helper import yaml_parse

    class NoManagedPolicies:
        """SAM would ask IAM for the policies of AWS by name, of which the template uses none."""

        def load(self) -> dict[str, str]:
            return {}

    template = yaml_parse(sys.stdin.read())
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:  # `sam deploy` uploads the folder, and puts the place in S3 here
            properties["CodeUri"] = f"s3://uploaded/{properties['CodeUri'].strip('/')}.zip"
    json.dump(transform(template, {}, NoManagedPolicies()), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
