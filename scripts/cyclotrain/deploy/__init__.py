"""What a consumer of the model needs beside the file: sources, configurations, reference vectors and the model card."""
