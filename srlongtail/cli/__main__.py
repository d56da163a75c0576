"""`python -m srlongtail.cli`, which torchrun takes."""

from srlongtail.cli.main import main

if __name__ == "__main__":
    main()
