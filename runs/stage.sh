# Read by the recipes beside it: stages of training that go on where they were stopped.

stage() { # stage COMMAND OUT ARGS...: start it, or go on with it; EXEC=exec stage ... & is a process that can be stopped
    command=$1 folder=$2
    shift 2
    if [ -e "$folder/checkpoints/last" ]; then set -- "$@" --resume; fi
    ${EXEC:-} "$command" --out "$folder" "$@"
}
