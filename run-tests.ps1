# Runs everything that decides whether a change is right:
# .\run-tests.ps1 [--docker] [--long] [pytest arguments]
# run-tests.sh is its twin: a step that is added here is added there.
$ErrorActionPreference = 'Stop'

function Assert-Success {
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

$given = @($args)
$path = $env:PATH
Push-Location $PSScriptRoot
try {
    if ($given.Count -gt 0 -and $given[0] -eq '--docker') {
        $given = @($given | Select-Object -Skip 1)
        docker compose --file docker-compose.yml run --build --rm test @given
        exit $LASTEXITCODE
    }

    $selection = @('-m', 'not long')
    if ($given.Count -gt 0 -and $given[0] -eq '--long') {
        $selection = @()
        $given = @($given | Select-Object -Skip 1)
    }

    $python = if ($env:PYTHON) { $env:PYTHON } else { 'python' }
    & $python .ci/environment.py requirements-tests.txt
    Assert-Success
    $programs = if ($IsLinux -or $IsMacOS) { 'bin' } else { 'Scripts' }
    $env:PATH = (Join-Path $PWD '.venv' | Join-Path -ChildPath $programs) + [IO.Path]::PathSeparator + $path

    Write-Output '== lint'
    ruff check .
    Assert-Success
    ruff format --check .
    Assert-Success
    Write-Output '== types'
    mypy
    Assert-Success
    Write-Output '== import contracts'
    lint-imports
    Assert-Success
    Write-Output '== tests'
    if ($given.Count -gt 0) {
        python -m pytest @selection @given
        exit $LASTEXITCODE
    }
    # what kills and stops real processes gets the machine for itself
    $alone = @('tests/processes', 'tests/crashes')
    $ignored = @($alone | ForEach-Object { "--ignore=$_" })
    python -m pytest @selection --numprocesses auto --dist loadfile @ignored
    Assert-Success
    python -m pytest @selection @alone
    exit $LASTEXITCODE
} finally {
    Pop-Location
    $env:PATH = $path
}
